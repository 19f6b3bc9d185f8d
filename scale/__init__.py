"""The scale demo: the sync on several machines, one of which dies in the middle of a first copy.

`python -m scale run` is what `make scale-demo` calls. The machines are processes with folders of their own on one
computer, which have nothing in common but network services.
"""
