"""``rdskit top``: a live view of a cluster's hosts, their load, and their events."""
