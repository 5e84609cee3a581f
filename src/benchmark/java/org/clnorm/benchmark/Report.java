package org.clnorm.benchmark;
final class Report { Report(java.util.List<Contest.Result> r){} static String machine(org.clnorm.opencl.OpenCl.Candidate c,int t){return "";} String page(String m, Contest c, int rounds){return "";} }
