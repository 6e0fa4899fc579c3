// `npm test` tries as much as fits into some minutes; `npm run campaigns` tries all of it.

/** Whether all of it is wanted, which takes many times as long. */
export const whole = process.env['SIGNALBOX_CAMPAIGN'] === 'whole'
