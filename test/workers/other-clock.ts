// Sets this process's clock ten minutes ahead: for `--import`, before anything else is loaded.

const aheadMs = 600_000
const real = Date.now.bind(Date)
Date.now = () => real() + aheadMs
