"""``manage.py fill_shop``: some thousand rows, the same each time."""

import random
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import transaction

from books.models import Author, Book, Review

WORDS = (
    "river stone winter glass letter garden silent harbour iron paper crow lantern salt mirror field"
).split()


class Command(BaseCommand):
    """Makes the tables and fills them, unless they are full."""

    help = "Fills the demo shop."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", run_syncdb=True, verbosity=0)
        if Book.objects.exists():
            return
        chance = random.Random(7)
        with transaction.atomic():
            authors = Author.objects.bulk_create(
                Author(name=f"{chance.choice(WORDS).title()} {chance.choice(WORDS).title()} {i}", country="-")
                for i in range(250)
            )
            books = Book.objects.bulk_create(
                Book(
                    title=f"The {chance.choice(WORDS)} and the {chance.choice(WORDS)} {i}",
                    author=chance.choice(authors), price=chance.randint(500, 4000) / 100,
                    year=chance.randint(1900, 2026),
                )
                for i in range(2000)
            )
            Review.objects.bulk_create(
                Review(book=chance.choice(books), stars=chance.randint(1, 5),
                       text=" ".join(chance.choices(WORDS, k=12)))
                for _ in range(4000)
            )
