"""The pages of the shop, some of them slow on purpose.

Why: each mistake is one that reviews let pass (a query for each author, copying in order to read), and has its mended
twin beside it (`/authors/repaired/`, `/report/repaired/`), so that two profiles can be compared.
The other pages are as they should be: a profiler must have nothing to say about them.
"""

from collections.abc import Iterator
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Avg, Count
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render

from . import reports
from .models import Author, Book


def book_list(request: HttpRequest) -> HttpResponse:
    """Forty books a page, or `?size=`."""
    books = Book.objects.select_related("author").annotate(stars=Avg("reviews__stars"), opinions=Count("reviews"))
    books = books.order_by("title", "id")
    size = min(int(request.GET.get("size", "40")), 500)
    page = Paginator(books, size).get_page(request.GET.get("page"))
    return render(request, "books/list.html", {"page": page})


def book_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One book and what readers said."""
    book = get_object_or_404(Book.objects.select_related("author"), pk=pk)
    return render(request, "books/detail.html", {"book": book, "reviews": book.reviews.all()})


def book_api(request: HttpRequest) -> JsonResponse:
    """A hundred books as JSON."""
    books = Book.objects.select_related("author")[:100]
    return JsonResponse({"books": [
        {"id": book.pk, "title": book.title, "author": book.author.name, "price": float(book.price)} for book in books
    ]})


def author_list(request: HttpRequest) -> HttpResponse:
    """Asks the database once for each author: the N+1 query."""
    authors = []
    for author in Author.objects.all()[:200]:
        authors.append({"name": author.name, "titles": [book.title for book in author.books.all()]})
    return render(request, "books/authors.html", {"authors": authors})


def author_list_repaired(request: HttpRequest) -> HttpResponse:
    """The same page with two queries."""
    authors = []
    for author in Author.objects.prefetch_related("books")[:200]:
        authors.append({"name": author.name, "titles": [book.title for book in author.books.all()]})
    return render(request, "books/authors.html", {"authors": authors})


def report(request: HttpRequest) -> HttpResponse:
    """The sales report, slow."""
    rows = reports.build(Book.objects.all()[:800])
    return render(request, "books/report.html", {"rows": rows[:50], "count": len(rows)})


def report_repaired(request: HttpRequest) -> HttpResponse:
    """The sales report, repaired."""
    rows = reports.build_repaired(Book.objects.all()[:800])
    return render(request, "books/report.html", {"rows": rows[:50], "count": len(rows)})


def export(request: HttpRequest) -> StreamingHttpResponse:
    """All books, streamed row by row."""
    def lines() -> Iterator[str]:
        yield "title,author,price\n"
        for book in Book.objects.select_related("author").iterator(chunk_size=500):
            yield f'"{book.title}","{book.author.name}",{book.price}\n'

    return StreamingHttpResponse(lines(), content_type="text/csv")


def error(request: HttpRequest) -> HttpResponse:
    """Fails, as pages do."""
    basket: dict[str, Any] = {}
    return HttpResponse(basket["total"])
