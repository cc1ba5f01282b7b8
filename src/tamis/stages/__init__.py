"""One folder per step, in the order that flow.py states; siblings never import each other."""
