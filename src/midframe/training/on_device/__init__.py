"""Train FlowSep or SepConv with the whole dataset in the memory of one GPU.

`leg.py` is the loop. Clips, photographs and overlays are stored on the device as bytes (`clips.py`,
`photographs.py`, `overlays.py`); crops are cut and synthetic motion is rendered there; a training
step is one CUDA graph (`step.py`, `optimiser.py`). A leg is one time-limited part of a longer run:
it ends at a deadline, and the next leg resumes it.
"""
