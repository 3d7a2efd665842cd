"""Training FlowSep with all data in the memory of one graphics card.

`leg.py` is the loop. Clips, photographs and overlays lie on the device as bytes (`clips.py`,
`photographs.py`, `overlays.py`); crops are cut and synthetic motion is rendered there; a training step
is one CUDA graph (`step.py`, `optimiser.py`). A leg ends at a deadline and can be resumed by the next.
"""
