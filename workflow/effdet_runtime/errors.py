"""Errors that a user of the runtime can cause; each is one sentence that says what to do."""


class DeploymentError(Exception):
    """Base of the errors below."""


class BundleError(DeploymentError):
    """A bundle is damaged or incomplete, or this machine or environment cannot run it."""


class PhotoError(DeploymentError):
    """A photo cannot be decoded, or is larger than allowed."""


class PhotoTooLargeError(PhotoError):
    """A photo has more pixels than allowed."""
