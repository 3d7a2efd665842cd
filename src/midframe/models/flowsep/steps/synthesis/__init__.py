"""From fields to the interpolated frame at full resolution, in one pass: FlowSep's last step."""
