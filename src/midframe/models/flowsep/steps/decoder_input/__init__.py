"""The input of a decoder: features along the flows, their correlation, what came before."""
