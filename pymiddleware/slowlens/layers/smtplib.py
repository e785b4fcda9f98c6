"""Mail that is sent."""

from __future__ import annotations

from . import Row

ROWS = (
    Row("smtplib", "SMTP.connect", "mail", "host", "host", "port"),
    Row("smtplib", "SMTP.sendmail", "mail", "self._host", "host"),
)
