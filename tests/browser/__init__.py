"""Tests in a real browser. A package, so that its servers and its browser end with the last of them."""
