"""A task that is fitted: the nearest mean of a class, on the kit of images. It is in no registry but that of tests."""
