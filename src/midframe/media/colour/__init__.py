"""Samples of decoded frames: conversion to and from RGB, geometry, and side data."""
