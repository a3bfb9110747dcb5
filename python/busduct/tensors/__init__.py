"""Arrays in messages: a small header in place, the elements beside it, views out."""

from busduct.tensors._dtypes import DTYPES
from busduct.tensors._tensor import Tensor

__all__ = ["DTYPES", "Tensor"]
