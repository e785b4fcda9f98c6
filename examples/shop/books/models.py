"""Authors, books and what readers said of them."""

from django.db import models


class Author(models.Model):
    """Who wrote it."""

    name = models.CharField(max_length=100)
    country = models.CharField(max_length=40)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Book(models.Model):
    """What is sold."""

    title = models.CharField(max_length=200, db_index=True)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    price = models.DecimalField(max_digits=6, decimal_places=2)
    year = models.IntegerField()

    class Meta:
        ordering = ("title", "id")

    def __str__(self) -> str:
        return self.title


class Review(models.Model):
    """An opinion."""

    book = models.ForeignKey(Book, models.CASCADE, related_name="reviews")
    stars = models.IntegerField()
    text = models.TextField()
