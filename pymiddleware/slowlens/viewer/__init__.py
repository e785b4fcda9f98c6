"""The viewer: a neutral request handler (app), its adapters (mount), static files."""
