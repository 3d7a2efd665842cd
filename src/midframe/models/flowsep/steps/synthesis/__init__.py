"""Synthesis, FlowSep's last step: from fields to the interpolated frame at full resolution, in one
pass."""
