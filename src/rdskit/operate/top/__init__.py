"""A cluster watched live: its hosts, their load, and what happens to them."""
