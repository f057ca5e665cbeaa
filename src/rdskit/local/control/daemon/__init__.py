"""The daemon around the control plane: its process, its services put together, its environment."""
