"""Times of single kernels from measurements: a physical prior, corrected where it was measured."""
