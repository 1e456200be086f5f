"""Figures for papers: Axes in, Axes out. With `report/`, the only rooms that matplotlib is loaded for."""
