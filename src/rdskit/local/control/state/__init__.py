"""The control plane's state on disk."""
