"""Serve the control plane over HTTP: messages, checks of the caller, dispatch and AWS errors."""
