"""Save and restore the control plane's state on disk."""
