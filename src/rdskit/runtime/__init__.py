"""asyncio building blocks: owned tasks, deadlines, single flight, periodic tasks, retries, and a loop in a thread."""
