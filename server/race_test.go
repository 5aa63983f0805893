//go:build race

package server

const raceDetector = true

// RaceDetector is for the tests outside of the package.
const RaceDetector = raceDetector
