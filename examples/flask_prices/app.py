"""A small Flask app beside the shop: it compares prices, and one page is slow.

Why: the demo's second framework, in one file that one can read through before looking at its profiles.
What is slow is slow as it happens to people: a loop within a loop that was quick with little data.
`slow_ms=100` says what is slow here; nothing else is set, so what one sees is what any app would show.
"""

import difflib
import json
import logging
import os
import random

from flask import Flask, jsonify, render_template_string

from slowlens.flask import Slowlens

logging.basicConfig(format="[%(asctime)s] %(name)s: %(message)s")

app = Flask(__name__)
app.debug = os.environ.get("FLASK_DEBUG") == "1"
Slowlens(app, slow_ms=100)

WORDS = (
    "river stone winter glass letter garden silent harbour iron paper crow lantern salt mirror field"
).split()
_chance = random.Random(3)
CATALOGUE = [
    {"title": f"The {_chance.choice(WORDS)} and the {_chance.choice(WORDS)} {i}", "price": _chance.randint(500, 4000)}
    for i in range(400)
]

PAGE = """<!doctype html><title>Prices</title><h1>Prices</h1>
<ul>{% for offer in offers %}<li>{{ offer.title }}: {{ "%.2f"|format(offer.price / 100) }}</li>{% endfor %}</ul>"""


@app.get("/")
def index() -> str:
    """A list rendered by Jinja."""
    return render_template_string(PAGE, offers=sorted(CATALOGUE, key=lambda offer: offer["price"])[:60])


@app.get("/offers/<int:number>")
def offer(number: int):  # type: ignore[no-untyped-def]
    """One offer as JSON."""
    return jsonify(json.loads(json.dumps(CATALOGUE[number % len(CATALOGUE)])))


@app.get("/similar/<int:number>")
def similar(number: int):  # type: ignore[no-untyped-def]
    """Slow: compares one title with all others, letter by letter."""
    wanted = CATALOGUE[number % len(CATALOGUE)]["title"]
    ranked = sorted(CATALOGUE, key=lambda offer: -likeness(wanted, offer["title"]))
    return jsonify([offer["title"] for offer in ranked[:10]])


def likeness(one: str, other: str) -> float:
    """0 to 1."""
    return difflib.SequenceMatcher(None, one, other).ratio()
