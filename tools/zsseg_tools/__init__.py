"""Builds and measures the segmentation model that ships with zsseg."""
