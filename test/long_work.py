"""A command with ten minutes of work, for test_pool.py to kill."""

from pool_work import make_sleeper

from vla_ros.learn.pool import work_off

if __name__ == "__main__":
    list(work_off(make_sleeper, range(6000), 1))
