// Waits until something holds, looking again and again, and fails when it never does.

export async function until(holds: () => boolean | Promise<boolean>, triesMax = 2_000): Promise<void> {
  for (let tries = 0; !(await holds()); tries += 1) {
    if (tries > triesMax) throw new Error('it never came to hold')
    await new Promise((wake) => setTimeout(wake, 5))
  }
}
