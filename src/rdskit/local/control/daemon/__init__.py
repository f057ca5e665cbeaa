"""Run the control plane in a daemon: its process, its composition, its environment."""
