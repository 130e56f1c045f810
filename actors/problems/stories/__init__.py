"""Arithmetic word problems in ordinary English, on which a small pretrained language model can be trained."""
