"""Recall: the questions that the memories answer."""
