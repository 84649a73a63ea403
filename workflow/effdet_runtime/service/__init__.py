"""A bundle behind HTTP, by the model server LitServe; see docs/deployment.md."""
