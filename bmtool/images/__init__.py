"""The kit of tasks that look at images: sources, preparation, batches, augmentation, backbones, pictures."""
