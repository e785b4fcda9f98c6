"""Sends the demo's traffic: ``traffic.py SHOP_URL PRICES_URL FEED_URL ROUNDS PAUSE_SECONDS``."""

import random
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

SHOP = ["/", "/?page=2", "/?page=7", "/books/{n}/", "/books/{n}/", "/api/books/", "/authors/", "/authors/repaired/",
        "/report/", "/report/repaired/", "/export.csv", "/error/"]
#: One visit in a round asks for exact counts: the others are profiled as the app says.
EXACT = ["/report/?slowlens=deterministic", "/authors/?slowlens=deterministic"]
FEED = ["/feed/", "/feed/", "/one-by-one/", "/blocking/", "/in-a-thread/", "/stream/"]
#: Asked for at once: the blocking ones hold up the event loop for the others.
TOGETHER = ["/one-by-one/", "/feed/", "/blocking/?times=300"]
PRICES = ["/", "/offers/{n}", "/offers/{n}", "/similar/{n}"]


def get(url: str) -> None:
    """Asks for a page and reads it all; what it answers does not matter."""
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            response.read()
    except urllib.error.HTTPError as error:
        error.read()
    except OSError:
        pass


def main() -> None:
    shop, prices, feed, rounds, pause = *sys.argv[1:4], int(sys.argv[4]), float(sys.argv[5])
    chance = random.Random()
    with ThreadPoolExecutor(4) as pool:
        for _ in range(rounds):
            urls = [shop + path for path in SHOP + EXACT] + [prices + path for path in PRICES]
            urls += [feed + path for path in FEED]
            chance.shuffle(urls)
            list(pool.map(get, [url.replace("{n}", str(chance.randint(1, 400))) for url in urls]))
            list(pool.map(get, [feed + path for path in TOGETHER]))
            time.sleep(pause)


if __name__ == "__main__":
    main()
