"""The input of a decoder: warped features, their correlation, carried features, flow and t."""
