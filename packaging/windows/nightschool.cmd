@echo off
rem The command of the installation: its own Python and libraries only.
"%~dp0runtime\python.exe" -m nightschool %*
