"""The vocabulary in which the packages describe their settings; it imports nothing of this
package.
"""
