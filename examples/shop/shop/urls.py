"""Every page of the shop."""

from books import views
from django.urls import path

urlpatterns = [
    path("", views.book_list, name="list"),
    path("books/<int:pk>/", views.book_detail, name="detail"),
    path("api/books/", views.book_api, name="api"),
    path("authors/", views.author_list, name="authors"),
    path("authors/repaired/", views.author_list_repaired, name="authors-repaired"),
    path("report/", views.report, name="report"),
    path("report/repaired/", views.report_repaired, name="report-repaired"),
    path("export.csv", views.export, name="export"),
    path("error/", views.error, name="error"),
]
