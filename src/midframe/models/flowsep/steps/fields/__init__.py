"""From the outputs of the finest decoder to the fields that frames are rendered from."""
