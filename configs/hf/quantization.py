"""x"""
from dataclasses import dataclass
from .keys import Keys
@dataclass
class Quantization:
    notes: tuple[str,...]=()
    def stored(self,tensors):
        return {"bf16":(sum(t.total for t in tensors),2*sum(t.total for t in tensors))}
def read_quantization(root,text): return Quantization()
