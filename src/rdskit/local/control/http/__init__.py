"""The HTTP front of the control plane: messages, checks of the caller, dispatch and AWS errors."""
