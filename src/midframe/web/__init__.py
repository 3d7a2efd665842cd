"""A web page for people who do not use the command line; only `page` and `server` import Gradio."""
