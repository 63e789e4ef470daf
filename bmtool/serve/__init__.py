"""A model over HTTP, with a page: FastAPI over the predictors that the command line uses."""
