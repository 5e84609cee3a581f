package org.clnorm.benchmark;
final class Chart { Chart(java.util.List<Contest.Result> r){} String svg(){return "";} }
