"""A page in the browser for people who do not type commands; only `page` and `server` import
Gradio."""
