"""Sweeps: many design points of one model, on processes of this machine or on a Dask cluster, none of them lost.

grid, points        what to try: the axes, the points, the tasks that share work
evaluate, facts, limits  what a point is: accuracy, counts, energy, latency, cores
workers, dask_workers    where tasks run: the `concurrent.futures` interface
drive, store        the loop, and what it keeps of every finished point
fronts, table       Pareto fronts; the Parquet file
picture             the fronts as a PNG
"""
